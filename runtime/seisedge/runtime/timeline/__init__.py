"""Timeline: packets to three components on one sample clock, gaps masked."""
