"""What a fresh tenant holds, to try things on: `seed` plants people and systems, `apps` and `files` what is on them,
`images` what actors are made of."""
