"""Many runs from one command: grids (`s2s compare`) and searches (`s2s tune`). A run is known by its folder alone."""
