"""Models: the miniature Qwen2.5-VL, loading any Qwen-VL checkpoint, encoding prompts, decoding answers."""
