"""`python -m fusioncam`: the command line where its program is not on the path."""

from fusioncam.cli.main import main

if __name__ == "__main__":
    main()
