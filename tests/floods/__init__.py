"""Floods of log lines at every memory size: does any invocation take longer than the budget allows?"""
