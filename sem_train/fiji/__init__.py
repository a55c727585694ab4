"""To Fiji and back: measurement lines and layer outlines as ImageJ selections (ROIs), and what a person made of them."""
