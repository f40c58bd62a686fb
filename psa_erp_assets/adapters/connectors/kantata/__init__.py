"""Kantata OX (once Mavenlink), a second PSA: milestones of fixed fees."""
