"""Averages, ranks, votes and forensics of leaderboards: tables of scores, a row a system, a column a task."""
