"""Scalars of a folder of event files, as TensorBoard itself reads them: {tag: [[step, value], ...]}."""

import json
import sys

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
tags = events.Tags()["scalars"]
print(json.dumps({tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags}))
