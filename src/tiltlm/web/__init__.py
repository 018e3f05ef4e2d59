"""The page of `tiltlm ui`: what the command line does, as things that one can see happen.

It has no logic of its own: each tab reads what was typed, calls a function that the command line or
Python calls too, and shows the record that comes back.

serving      the page on an address of this machine, or shared behind a password
page         the tabs, the running job above them, the switch of languages
load_tab     choose a model, write an event, choose how to realise the target
weigh_tab    base and tilted model side by side, next tokens, heat map, measurement
audit_tab    was a model tilted, and towards what
undo_tab     a tilt taken back, what is left before and after
challenge_tab  a sealed challenge: look, guess, and see whether the auditor was nearer
challenge_fragments  guesses and scores as HTML
side_by_side  two models that write from one prompt, and a text coloured by what they make of it
article_tab  the article in eight steps, for a classroom
article_steps  what the eight steps show
desk         what all tabs share while the page is built
bench        the base and the tilted model that are being looked at, and what is drawn from them
jobs         one heavy job at a time, the others in a queue
job_process  the process that a job runs in
folders      files from the folders given at the start, and from nowhere else
heap         memory that is free, given back to the machine
fragments    records and figures as HTML
words        components whose words follow the language
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
