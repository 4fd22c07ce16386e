"""PSNR and SSIM by one protocol, the complexity of a net, and validation during training."""
