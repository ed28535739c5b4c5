"""What answers here: registrar, notifier, dialogs."""
