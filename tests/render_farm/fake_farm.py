"""The real command line `render-farm` over fake workers: fake_farm.py BEHAVIOUR_JSON run ..."""

import json
import sys
from functools import partial

from farm_fakes import worker_command

from render_farm.__main__ import main
from render_farm.cluster import CLUSTERS, LocalPool

CLUSTERS["local"] = partial(LocalPool, command=worker_command(**json.loads(sys.argv.pop(1))))
main()
