"""Chains of thought written by a teacher model, and what of them is worth teaching.

Prompts from templates, rejection sampling, a fact check of free prose, leak check, near-duplicates, and the books.
"""
