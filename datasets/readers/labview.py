"""What LabVIEW calls units, in its .lvm and TDMS files alike."""

#: An acceleration in "g" is in units of the standard gravity.
UNITS = {"g": "gn", "Volts": "V", "Amps": "A", "Newtons": "N", "°C": "degC", "Deg C": "degC", "deg C": "degC"}
