"""The verbs of `maskwatch`, one module each: HELP, EXAMPLE, add_arguments(parser) and run(args)."""
