"""What readers of measurement files share: tables, rows of numbers, headers, arrays, optional libraries."""
