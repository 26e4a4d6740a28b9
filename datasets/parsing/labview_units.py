"""Names of units in LabVIEW's .lvm and TDMS files."""

#: An acceleration in "g" is in units of the standard gravity.
LABVIEW_UNITS = {"g": "gn", "Volts": "V", "Amps": "A", "Newtons": "N", "°C": "degC", "Deg C": "degC", "deg C": "degC"}
