"""AppNet: text to a typed core (`typecheck.type_check`), and from the core to meaning, interpreter and eBPF C."""
