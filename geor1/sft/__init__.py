"""02: supervised fine-tuning on scaffolds, chains of thought that teach a way of thinking."""
