#!/bin/sh
# Install what the tests of pages need: a browser, a font, and what reads a printed page.
exec sh "$(dirname "$0")/install_packages.sh" chromium fonts-liberation poppler-utils
