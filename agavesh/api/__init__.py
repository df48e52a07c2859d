"""The contract: what the platform offers, as typed declarations and nothing else."""
