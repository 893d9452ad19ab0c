#!/usr/bin/env bash
# The files of llama3-8b.toml and one-gpu-24gb.toml, from public sets at pinned commits: about 150 MB to download, minutes.
#   pip install -e . && hf auth login
#   bash examples/data.sh            # into examples/data; what is downloaded, into examples/sets
# Licences: HelpSteer2 and Daring-Anteater CC BY 4.0, AlpacaEval CC BY-NC 4.0, Arena-Hard Apache-2.0.
set -euo pipefail
unset CDPATH # by which cd goes elsewhere, and says where
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sets=$here/sets data=$here/data

fetch() { # OWNER/NAME COMMIT FILE
  hf download "$1" "$3" --repo-type dataset --revision "$2" --local-dir "$sets/${1##*/}"
}

fetch nvidia/HelpSteer2 990b2711a36180dd19d9c94b8627844866f8982a train.jsonl.gz
fetch nvidia/Daring-Anteater ae79f8ac44cf185fbd3250dbe46057a7f7c4ec40 train.jsonl
fetch tatsu-lab/alpaca_eval 2edc6fad8be6b14ea7230aabfd08188da6b8b814 alpaca_eval.json
fetch lmarena-ai/arena-hard-auto c75cc2581ae7ac4b66ce5c804c002fe5a7c6339e data/arena-hard-v0.1/question.jsonl

# 2,000 prompts with two scored responses each, and 250 others that are held out: no prompt is in both files. Prompts of
# several turns become conversations.
alma convert helpsteer2 "$sets/HelpSteer2/train.jsonl.gz" --out "$data" --seeds 2000 --evaluation 250
alma convert daring-anteater "$sets/Daring-Anteater/train.jsonl" --out "$data" --seeds 5000

# Evaluation prompts, each with the set that it is of as its family: all of them, with no seeds drawn from AlpacaEval.
alma convert alpacaeval "$sets/alpaca_eval/alpaca_eval.json" --out "$sets/evaluation/alpacaeval" --seeds 0
alma convert arena-hard "$sets/arena-hard-auto/data/arena-hard-v0.1/question.jsonl" --out "$sets/evaluation/arena-hard"
# The paper's other sets, whose commits are yours to choose: download the file, then
#   alma convert mt-bench question.jsonl --out "$sets/evaluation/mt-bench"            # github.com/lm-sys/FastChat
#   alma convert lima test.jsonl --out "$sets/evaluation/lima"                        # huggingface.co/datasets/GAIR/lima
#   alma convert self-instruct user_oriented_instructions.jsonl --out "$sets/evaluation/self-instruct"
cat "$sets"/evaluation/*/evaluation.jsonl > "$data/evaluation.jsonl"
wc -l "$data"/*.jsonl
