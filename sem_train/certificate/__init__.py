"""The page that is filed with analysed micrographs: what was found, how sure it is, and a picture to judge it by.

It is made from what `sem-train analyse` left in a folder alone, and is complete in itself: it opens without a network.
"""
