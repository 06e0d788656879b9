"""pylibmc, which is libmemcached, over the binary protocol."""

import os
import runpy

text = runpy.run_path(os.path.join(os.path.dirname(__file__), "pylibmc_text.py"))
client = text["connect"](True, cas=True)
text["all_of"](client)
assert client.touch("none", 100) is False
