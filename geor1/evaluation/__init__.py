"""Stage 04: ask the models, score the answers, read other models' outputs, hold the paper's claims against them."""
