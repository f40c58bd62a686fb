"""Clockify, the PSA: users, clients, projects and their rates, time entries, expenses, approvals, webhooks."""
