# Completion of turnpike's commands in fish: the program itself says what may stand there.
#
#   turnpike completion fish | source

function __turnpike_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l current (commandline -ct)

    for line in ($words[1] complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case ':files*'
                __fish_complete_path $current
            case ':dirs*'
                __fish_complete_directories $current
            case '*'
                echo $line
        end
    end
end

complete -c turnpike -f -a '(__turnpike_complete)'
