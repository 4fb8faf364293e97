from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "print what makes a shell complete pvc's command lines"
EXAMPLE = "bash >/etc/bash_completion.d/pvc"

# Of bash: what it splits at ":" and "=" is put together again for pvc, and taken off from what pvc offers.
BASH = """\
# Completion of pvc for bash.
_pvc() {
    local word head='' breaks=${COMP_WORDBREAKS//[^:=]/}
    local -a words=() found=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#words[@]} -gt 0 && ($word =~ ^[:=]+$ || ${words[-1]} =~ [:=]$) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    if [[ -n $breaks && ${words[-1]} == *["$breaks"]* ]]; then
        head=${words[-1]%"${words[-1]##*["$breaks"]}"}
    fi
    mapfile -t found < <("${COMP_WORDS[0]}" --complete "${words[@]}" 2>/dev/null)
    COMPREPLY=()
    if [[ ${found[0]} == :files ]]; then
        compopt -o default
    else
        found=("${found[@]%%$'\\t'*}")
        COMPREPLY=("${found[@]#"$head"}")
    fi
}
complete -F _pvc pvc
"""

ZSH = """\
#compdef pvc
# Completion of pvc for zsh.
_pvc() {
    local line
    local -a found offered
    found=("${(@f)$($words[1] --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $found[1] == :files ]]; then
        _files
        return
    fi
    for line in $found; do
        offered+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    (( $#offered )) && _describe 'pvc' offered
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
    set -l current (commandline -ct)
    set -l found ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path "$current"
    else
        printf '%s\\n' $found
    end
end
complete -c pvc -f -a '(__pvc_complete)'
"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SHELLS), metavar="SHELL", help="which is to read it: bash, zsh or fish")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show({"script": SHELLS[args.shell]}, lambda answer: [answer["script"].rstrip("\n")])
