"""How the tiny checkpoint was made and measured. Imports everything; nothing imports it.

visualcloze-nb train vae | transformer | export | ablations
"""
