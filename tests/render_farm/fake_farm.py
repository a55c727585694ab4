"""The real command line `render-farm` over fake renderers: fake_farm.py BEHAVIOUR_JSON run ..."""

import json
import sys
from functools import partial

from farm_fakes import renderer_command

from render_farm import __main__
from render_farm.pools.opening import open_pools

__main__.open_pools = partial(open_pools, command=renderer_command(**json.loads(sys.argv.pop(1))))
__main__.main()
