"""The experiment: arms with and without synthetic data, trained alike, tested on specimens that none has seen."""
