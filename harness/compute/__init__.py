"""Where numbers are computed: device, precision, processes."""
