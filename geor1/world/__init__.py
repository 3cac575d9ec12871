"""The miniature Earth: real layers, cities, and the synthetic scenes drawn from them."""
