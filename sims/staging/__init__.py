"""What happens to a simulated mesh in a scenario: starts, faults, cuts, jobs, all under the virtual clock."""
