"""kafka: what goes to librdkafka, checked before any client exists.

options.py       its options: names, aliases, values, and our defaults with their reasons
java.py          the spellings of Java's clients among them, translated; java_login.py: logins, jaas.py: their text
rules.py         which options exclude each other
tls.py           certificates and keys, put right and checked: pem.py their text, certificates.py their content
login.py         what the SASL options mean together, and where tokens come from
"""
