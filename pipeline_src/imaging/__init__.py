"""Images as arrays: reading and writing, colour, MATLAB's imresize, and tiles."""
