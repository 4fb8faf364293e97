from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "print what makes a shell complete pvc's command lines"
EXAMPLE = "bash >/etc/bash_completion.d/pvc"

BASH = """\
# Completion of pvc for bash.
_pvc() {
    local found
    mapfile -t found < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    if [ "${found[0]}" = :files ]; then
        compopt -o default
    else
        COMPREPLY=("${found[@]%%$'\\t'*}")
    fi
}
complete -F _pvc pvc
"""

ZSH = """\
#compdef pvc
# Completion of pvc for zsh.
_pvc() {
    local -a found
    found=("${(@f)$($words[1] --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $found[1] == :files ]]; then
        _files
    elif [[ -n $found[1] ]]; then
        found=("${(@)found//:/\\\\:}")
        found=("${(@)found/$'\\t'/:}")
        _describe 'pvc' found
    fi
}
if [[ $funcstack[1] == _pvc ]]; then
    _pvc "$@"
else
    compdef _pvc pvc
fi
"""

FISH = """\
# Completion of pvc for fish.
function __pvc_complete
    set -l words (commandline -opc)
    set -l found ($words[1] --complete $words[2..-1] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c pvc -f -a '(__pvc_complete)'
"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell that is to read it")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show({"script": SHELLS[args.shell]}, lambda answer: [answer["script"].rstrip("\n")])
