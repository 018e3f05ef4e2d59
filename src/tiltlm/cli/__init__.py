"""The command line: options in, one call of `tiltlm.commands`, a record printed. No logic.

main              the commands as one program; its entry point; errors as exit codes
allocation        huge pages, freed memory kept, garbage looked for seldom
interrupts        Ctrl-C, SIGTERM, paths that the system refuses: one message each
run               `tiltlm demo`, `run`, `report`, `recipes`
tilt              `tiltlm tilt`
sample            `tiltlm sample`
tokens            `tiltlm tokens`
measure           `tiltlm measure`
sweep             `tiltlm sweep`
audit             `tiltlm audit`, `tiltlm audit plan`
null              `tiltlm null build`, `show`, `push`
export            `tiltlm export`
verify            `tiltlm verify`
undo              `tiltlm undo`
challenge         `tiltlm challenge make`, `score`
info              `tiltlm info`
label             `tiltlm label show`, `verify`, `sign`, `key`; `tiltlm push`
options           options that several commands share
placement         --device, --dtype and the like, of every command that loads a model
console           where text is printed as it is, whatever it holds
bars              progress on standard error
printing_run      what run, demo and tilt print
printing_tokens   what tokens prints
printing_info     what info prints
printing_measure  what measure and sweep print
printing_audit    what audit prints
printing_null     what null prints
printing_undo     what undo prints
printing_challenge  what challenge prints
printing_label    what label and push print
printing_export   what export prints
printing_verify   what verify prints

The program is `tiltlm.cli.main.main`. `tiltlm --help` imports neither torch nor transformers,
matplotlib or scipy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
