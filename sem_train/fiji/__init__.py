"""To Fiji and back: lines and outlines as ImageJ selections (ROIs), and what a person made of them."""
