"""Echo servers under each loop, beside a bare C server, with a load generator in C."""
