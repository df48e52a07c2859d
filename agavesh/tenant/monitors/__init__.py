"""Systems that are tried now and then: what a check does (`checks`), and when it is done (`life`)."""
