"""How the tiny checkpoint was made and measured. Imports everything; nothing imports it.

python -m visualcloze_nb.training vae | transformer | evaluate
"""
