# Completion of uzswap(1) for fish. Installed as share/fish/vendor_completions.d/uzswap.fish.

set -l commands run check advise train ps top set shrink help
set -l no_command "not __fish_seen_subcommand_from $commands"

# The command of `uzswap run` begins at the first word that is no option and no value of one.
function __uzswap_before_program
    set -l words (commandline -opc)
    contains -- run $words[2]; or return 1
    set -l at 3
    while test $at -le (count $words)
        switch $words[$at]
            case --
                return 1
            case --encrypt --summary --no-follow --help '--*=*'
            case '-*'
                set at (math $at + 1)
            case '*'
                return 1
        end
        set at (math $at + 1)
    end
    return 0
end

# The words from the command of `uzswap run` on, for its own completion.
function __uzswap_complete_program
    set -l words (commandline -opc) (commandline -ct)
    set -l at 3
    while test $at -le (count $words)
        switch $words[$at]
            case --
                set at (math $at + 1)
                break
            case --encrypt --summary --no-follow --help '--*=*'
            case '-*'
                set at (math $at + 1)
            case '*'
                break
        end
        set at (math $at + 1)
    end
    complete -C (string join ' ' -- (string escape -- $words[$at..-2]) $words[-1])
end

complete -c uzswap -f
complete -c uzswap -n "$no_command" -a run -d "run a command under a memory limit"
complete -c uzswap -n "$no_command" -a check -d "report whether uzswap works on this machine"
complete -c uzswap -n "$no_command" -a advise -d "report how well given pages compress"
complete -c uzswap -n "$no_command" -a train -d "make a dictionary from pages"
complete -c uzswap -n "$no_command" -a ps -d "list the runs on this machine"
complete -c uzswap -n "$no_command" -a top -d "watch the runs on this machine"
complete -c uzswap -n "$no_command" -a set -d "change the options of a run"
complete -c uzswap -n "$no_command" -a shrink -d "have a run use less memory for a while"
complete -c uzswap -n "$no_command" -a help -d "print the manual page of a command"
complete -c uzswap -n "$no_command" -l version -d "print the version"
complete -c uzswap -n "$no_command" -l help -d "print the commands"

set -l run __uzswap_before_program
complete -c uzswap -n $run -l limit -x -a auto -d "memory of the whole process tree"
complete -c uzswap -n $run -l codec -x -a "auto lz4 zstd" -d "compressor of the pages"
complete -c uzswap -n $run -l pool -x -a "zsmalloc zbud" -d "allocator of compressed pages"
complete -c uzswap -n $run -l dictionary -r -F -a "auto off" -d "learn dictionaries, or start with one"
complete -c uzswap -n $run -l pool-limit -x -d "memory of the compressed pools"
complete -c uzswap -n $run -l backing -r -F -d "where the coldest pages are written"
complete -c uzswap -n $run -l backing-size -x -d "maximum bytes of all backing files"
complete -c uzswap -n $run -l backing-write-limit -x -d "maximum bytes written in a period"
complete -c uzswap -n $run -l encrypt -d "encrypt what is written"
complete -c uzswap -n $run -l engine -x -a "sibling threads" -d "where the engine runs"
complete -c uzswap -n $run -l stats -r -F -d "write statistics as JSON"
complete -c uzswap -n $run -l metrics -r -F -d "offer figures to Prometheus"
complete -c uzswap -n $run -l summary -d "print a short table at the end"
complete -c uzswap -n $run -l no-follow -d "do not repair the environment of other programs"
complete -c uzswap -n $run -l help -d "print the options"
complete -c uzswap -n "__fish_seen_subcommand_from run" -a "(__uzswap_complete_program)"

set -l pages "__fish_seen_subcommand_from advise train"
complete -c uzswap -n $pages -l pages -r -F -d "a file of raw pages"
complete -c uzswap -n $pages -a "(__fish_complete_pids)"
complete -c uzswap -n "__fish_seen_subcommand_from advise ps" -l json -d "print JSON"
complete -c uzswap -n "__fish_seen_subcommand_from train" -l pid -x -a "(__fish_complete_pids)" -d "a running process"
complete -c uzswap -n "__fish_seen_subcommand_from train" -s o -l output -r -F -d "where the dictionary is written"
complete -c uzswap -n "__fish_seen_subcommand_from train" -l size -x -d "maximum bytes of the dictionary"
complete -c uzswap -n "__fish_seen_subcommand_from top" -l once -d "print once, without a terminal"
complete -c uzswap -n "__fish_seen_subcommand_from top" -l interval -x -d "seconds between two refreshes"
complete -c uzswap -n "__fish_seen_subcommand_from top" -l sort -x -a "used stall faults pool pid" -d "order of the processes"
complete -c uzswap -n "__fish_seen_subcommand_from set" -a "limit= pool-limit= codec= write-limit="
complete -c uzswap -n "__fish_seen_subcommand_from set shrink" -a "(uzswap ps 2>/dev/null | string match -r -g '^run (\d+):')"
complete -c uzswap -n "__fish_seen_subcommand_from shrink" -l to -x -d "what it shall use"
complete -c uzswap -n "__fish_seen_subcommand_from check" -l container -d "print what a container needs"
complete -c uzswap -n "__fish_seen_subcommand_from advise train ps top check set shrink" -l help -d "print the options"
complete -c uzswap -n "__fish_seen_subcommand_from help" -a "run check advise train ps top set shrink"
