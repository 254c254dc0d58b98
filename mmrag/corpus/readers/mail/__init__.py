"""Read mails and mailboxes."""
