"""Stage 01: sources of pairs, hard negatives, questions, chains of thought, fact check, dataset files."""
