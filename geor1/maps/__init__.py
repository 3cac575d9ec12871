"""Stage 05: the inspector (one offline HTML page), its static twins, and the plots that every notebook uses.

``geor1.maps.plots`` holds the matplotlib functions, ``geor1.maps.colours`` the project's colours. Nothing here imports
torch.
"""
