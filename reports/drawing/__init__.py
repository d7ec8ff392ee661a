"""How all reports draw: style, axes, legends, thinned series, and SVG of the same bytes."""
