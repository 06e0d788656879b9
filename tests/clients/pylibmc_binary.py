"""pylibmc, which is libmemcached, over the binary protocol."""

import os
import runpy

text = runpy.run_path(os.path.join(os.path.dirname(__file__), "pylibmc_text.py"))
text["all_of"](text["connect"](True, cas=True))
