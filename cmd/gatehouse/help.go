package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// helpCommand is cobra's, but for a topic that does not exist: that is wrong
// use, and says so in one line.
func helpCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Say what a command does", Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			topic, rest, err := c.Root().Find(args)
			if err != nil || topic == nil || len(rest) > 0 {
				return &usageError{fmt.Sprintf("there is no command %q", args[len(args)-1]), "gatehouse help"}
			}
			topic.SetOut(stdout)
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}

// completionCommand prints what a shell needs to complete our commands.
func completionCommand(stdout io.Writer) *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(stdout, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(stdout) },
	}
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Print what a shell needs to complete commands",
		Long: `Print what a shell needs to complete commands. For bash, in this session:

  source <(gatehouse completion bash)`,
		Args: arguments(1, 1), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, args []string) error {
			write, ok := shells[args[0]]
			if !ok {
				return &usageError{fmt.Sprintf("there is no completion for %q", args[0]), "gatehouse completion bash"}
			}
			return write(c.Root())
		},
	}
}
