"""MATLAB's bicubic, the LR image of the protocol (``data/imresize.py``): nothing is learnt, and nothing is here."""
